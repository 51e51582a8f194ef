# The verbs: what `make help` lists.
