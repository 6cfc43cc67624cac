"""Methods for calorimeter showers."""
