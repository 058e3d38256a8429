"""Makes what pebble learns from and what it is measured with. One module a skill; `skills.py` lists them."""
