"""The domain: plans resolved, models found, text tokenized, figures computed. No trio here.

Its packages, and the order in which they may import each other, are in docs/architecture.md.
"""
