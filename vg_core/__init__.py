"""Visual geo-localization by retrieval: models, mining, evaluation, and what they need."""
