using Apvirt.Host.Views;

namespace Apvirt.Cli.Rendering;

/// <summary>A host as text: the matrix of queues first, then tables of cards, mediated devices and guests.</summary>
internal static class HostText
{
    private const int LongestIds = 44;

    internal static void Write(CommandIo io, HostView view)
    {
        MatrixText.Write(io, view);
        Table cards = new("CARD", "TYPE", "STATUS", "DRIVER", "QUEUES");
        foreach (CardView card in view.Cards)
            cards.Add(card.Id, card.Type, card.Status, card.Driver ?? "-", Text(card.Queues));
        cards.Write(io.Out);
        if (view.Mdevs.Count > 0)
        {
            Table mdevs = new("MDEV", "UUID", "ADAPTERS", "DOMAINS", "CONTROL", "GUEST HAS", "GUEST");
            for (int i = 0; i < view.Mdevs.Count; i++)
            {
                MdevView mdev = view.Mdevs[i];
                mdevs.Add(
                    MatrixText.Letter(i) + (mdev.Alias is null ? "" : $" {mdev.Alias}"), mdev.Uuid,
                    Ids(mdev.Adapters), Ids(mdev.Domains), Ids(mdev.ControlDomains), GuestHas(mdev), mdev.Guest ?? "-");
            }
            mdevs.Write(io.Out);
        }
        WriteFunctions(io, view);
        if (view.Guests.Count == 0)
            return;
        GuestText.Write(io, view);
        GuestText.WriteReferences(io, view);
    }

    private static void WriteFunctions(CommandIo io, HostView view)
    {
        if (view.Pci.Count > 0)
        {
            Table functions = new("PCI", "FID", "TYPE", "DRIVER", "HANDLE", "GUEST", "USE");
            foreach (PciView function in view.Pci)
            {
                string use = function.Guest is null ? "-" : function.IsInterpreted ? function.IsForwarded ? "interpreted, interrupts forwarded" : "interpreted" : "plain";
                functions.Add(function.Address ?? "off", function.Fid, function.Type, function.Driver ?? "-", function.Handle, function.Guest ?? "-", use);
            }
            functions.Write(io.Out);
        }
        if (view.Vgpus.Count > 0)
        {
            Table vgpus = new("VGPU", "UUID", "ADAPTER", "GUEST", "PAGES");
            foreach (VgpuView vgpu in view.Vgpus)
                vgpus.Add(vgpu.Alias ?? "-", vgpu.Uuid, vgpu.Adapter, vgpu.Guest ?? "-", Text(vgpu.Pages));
            vgpus.Write(io.Out);
        }
    }

    private static string GuestHas(MdevView mdev)
    {
        if (mdev.GuestAdapters.SequenceEqual(mdev.Adapters) && mdev.GuestDomains.SequenceEqual(mdev.Domains))
            return "all";
        return mdev.GuestAdapters.Count == 0 ? "nothing" : $"{Ids(mdev.GuestAdapters)} x {Ids(mdev.GuestDomains)}";
    }

    private static string Ids(IReadOnlyList<string> ids)
    {
        string text = ids.Count == 0 ? "-" : string.Join(' ', ids);
        return text.Length <= LongestIds ? text : $"{ids[0]} {ids[1]} … {ids[^1]} ({ids.Count})";
    }

    private static string Text(long number) => number.ToString(System.Globalization.CultureInfo.InvariantCulture);
}
