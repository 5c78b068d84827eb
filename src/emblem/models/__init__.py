"""Where models come from, and what their folders say."""
