"""Update a generated service, or change its answers, with a three-way merge by git."""
