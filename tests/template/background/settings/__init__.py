"""The settings of the service's tests, with one queue each."""
