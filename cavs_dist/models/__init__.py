"""The parts that a task's model is built from."""
