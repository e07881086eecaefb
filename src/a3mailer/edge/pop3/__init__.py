"""The POP3 door: sessions, answers, and the texts of answers by language."""
