"""The portal: what a customer's members see of their connections."""
