"""`ev-marl fit`: models from data of your own."""
