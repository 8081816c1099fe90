"""Portal, console and connect widget."""
