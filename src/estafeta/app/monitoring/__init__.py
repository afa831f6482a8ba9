"""What operators see of a running server: metrics, health, and a watch over what stands still."""
