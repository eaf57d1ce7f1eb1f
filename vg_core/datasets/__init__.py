"""Where photographs were taken, and the photographs themselves."""
