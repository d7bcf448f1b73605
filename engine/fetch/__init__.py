"""Files from elsewhere: packages, the web, the Hugging Face Hub."""
