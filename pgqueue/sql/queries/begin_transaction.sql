begin read write
