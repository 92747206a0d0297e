"""The administrator's side: the commands, and the composition root that runs every door.

This package alone knows all the others. Whatever is read from the INI file is put together
here and handed to the doors.
"""
