"""What every configuration serves; it is put on the path of the generated project and of peers."""
