"""The milter protocol, version 6, the mail server's side (sendmail's libmilter): codec and engine."""
