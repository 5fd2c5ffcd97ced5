"""Weight files of other frameworks to Flax parameter trees and back."""
