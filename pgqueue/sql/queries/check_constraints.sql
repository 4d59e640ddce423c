set constraints all immediate
