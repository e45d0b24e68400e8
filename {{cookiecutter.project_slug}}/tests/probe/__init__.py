"""Views that only tests serve: slow ones and ill-behaved ones."""
