"""Ground floor: tables of judgments and stimuli in, scores, BD-rates and a report out."""
