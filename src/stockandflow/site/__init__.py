"""The pages of the processes: who may see one, which range was asked for, and the views."""
