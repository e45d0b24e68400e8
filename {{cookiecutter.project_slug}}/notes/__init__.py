"""An example app: two views that write and read rows. README.md says how to delete it."""
