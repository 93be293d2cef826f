"""What answers are called with or through: importable in the student's process, and free of solutions."""
