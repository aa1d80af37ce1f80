"""Ground floor: pictures in, matched-rate stimuli out."""
