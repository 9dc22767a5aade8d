"""`cavs-dist doctor`: does this machine have what a run needs, and what is to be done where it has not?"""
