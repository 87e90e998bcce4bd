"""What happens at a site: sessions, prices, loads, and the track that holds one day of them."""
