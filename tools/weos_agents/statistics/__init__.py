"""What pairs of figures prove. Pure: numbers go in, bounds come out."""
