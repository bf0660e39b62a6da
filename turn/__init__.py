"""TURN: credentials that expire, coturn's configuration and image. Imports no other room."""
