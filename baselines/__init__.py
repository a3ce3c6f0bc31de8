"""Meta-trained baselines for gpicl_bench: one file a model, one program that trains them all."""
