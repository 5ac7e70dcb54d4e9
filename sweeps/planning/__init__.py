"""What a plan costs, and whether it can be carried out."""
