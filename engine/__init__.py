"""The domain: plans resolved, models found, text tokenized, figures computed. No trio here."""
