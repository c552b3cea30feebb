"""From two models' answers and a rubric to what a third model thinks of them."""
