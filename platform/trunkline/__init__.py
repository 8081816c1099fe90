"""The platform: engine, vault, recipes and API of Trunkline."""
