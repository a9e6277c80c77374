"""The development data sets: small real ones that come inside ordinary packages."""
