"""Other people's software in a project, where test_other_software.py copies this."""
