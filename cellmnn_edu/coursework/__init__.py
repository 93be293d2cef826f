"""The book as coursework: checks that name the mistake, and the student notebooks made from the chapters."""
