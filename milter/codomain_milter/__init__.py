"""The libmilter door, for Postfix and Sendmail. It is not there yet.

It will turn the callbacks of a milter session into questions, and verdicts into replies and
changes of recipients.
"""
