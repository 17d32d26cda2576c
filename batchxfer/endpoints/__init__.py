"""The endpoints: where files go."""
