"""What people read: the results table, the HTML page, the model card."""
