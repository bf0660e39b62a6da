"""Real mediasoup into the `rtp` source: `make test-mediasoup`, which builds mediasoup."""
