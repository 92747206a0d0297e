"""The libmilter door, for Postfix and Sendmail.

It turns the callbacks of a milter session into questions, and verdicts into replies and
changes of recipients.
"""
