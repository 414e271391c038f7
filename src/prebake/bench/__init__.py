"""Where an epoch's time goes, the old way and with prebake, on the user's own photographs and machine."""
