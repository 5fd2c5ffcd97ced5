"""Loss functions: a value per element or example; the caller reduces and weighs."""
