"""What a training sees of its photographs: changes of colour and shape, nights made of days."""
