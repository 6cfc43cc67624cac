"""The materials of the calorimeter, and the constants of their showers by the formulas of hep-ex/0001020."""

from dataclasses import dataclass

SCALE = 21.2  # MeV, of multiple scattering


@dataclass(frozen=True)
class Material:
    """An element: charge Z, mass number A, density [g/cm³], X0 [g/cm²], dE/dx of a minimum ionising particle."""

    z: float
    a: float
    density: float
    radiation_length: float
    ionisation: float  # MeV cm²/g

    @property
    def critical_energy(self) -> float:
        """Critical energy of electrons, MeV."""
        return 2.66 * (self.radiation_length * self.z / self.a) ** 1.1


@dataclass(frozen=True)
class Calorimeter:
    """Plates of an absorber and gaps of an active material [cm], with the constants of both as one medium."""

    absorber: Material
    active: Material
    plate: float
    gap: float

    def _weights(self) -> tuple[tuple[Material, float], ...]:
        mass = self.absorber.density * self.plate, self.active.density * self.gap
        return (self.absorber, mass[0] / sum(mass)), (self.active, mass[1] / sum(mass))

    @property
    def z(self) -> float:
        """Effective charge."""
        return sum(weight * one.z for one, weight in self._weights())

    @property
    def density(self) -> float:
        """Mean density, g/cm³."""
        mass = self.absorber.density * self.plate + self.active.density * self.gap
        return mass / (self.plate + self.gap)

    @property
    def radiation_length(self) -> float:
        """Radiation length X0, cm."""
        return 1 / sum(weight / one.radiation_length for one, weight in self._weights()) / self.density

    @property
    def _critical_per_length(self) -> float:
        return sum(weight * one.critical_energy / one.radiation_length for one, weight in self._weights())

    @property
    def critical_energy(self) -> float:
        """Critical energy of electrons, MeV."""
        return self.radiation_length * self.density * self._critical_per_length

    @property
    def moliere_radius(self) -> float:
        """Molière radius R_M, cm."""
        return SCALE / self._critical_per_length / self.density

    @property
    def sampling_frequency(self) -> float:
        """F_S: samplings per radiation length."""
        return self.radiation_length / (self.plate + self.gap)

    @property
    def electron_response(self) -> float:
        """ê = e/mip: the signal of an electron over that of a minimum ionising particle of equal deposited energy."""
        return 1 / (1 + 0.007 * (self.absorber.z - self.active.z))

    @property
    def sampling_fraction(self) -> float:
        """Visible share of a shower's energy: that of a minimum ionising particle, times ê."""
        plate, gap = (
            one.ionisation * one.density * length
            for one, length in ((self.absorber, self.plate), (self.active, self.gap))
        )
        return gap / (plate + gap) * self.electron_response


LEAD = Material(z=82, a=207.2, density=11.35, radiation_length=6.37, ionisation=1.122)
ARGON = Material(z=18, a=39.95, density=1.39, radiation_length=19.55, ionisation=1.508)
CALORIMETER = Calorimeter(LEAD, ARGON, plate=0.2, gap=0.4)  # 17.1 % of a shower's energy is visible
