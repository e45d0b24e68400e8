"""The settings of the service's tests, with one piece of other software each."""
