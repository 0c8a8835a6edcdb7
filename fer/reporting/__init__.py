"""What a person sees: figures, tables, pages, TensorBoard, the console."""
