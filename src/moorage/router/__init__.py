"""The access router: delegates typed prefixes and forwards for the ones that move."""
