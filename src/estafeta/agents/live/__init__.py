"""Messages to screens: SEND, SOML and SAML show them to people who are there (RFC 821 §3.4)."""
