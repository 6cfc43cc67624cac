"""Events: columns, tables, readers, tasks, and the layout that files follow."""
